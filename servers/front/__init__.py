"""A front that takes requests over HTTP and hands them to workers, which pull the next one whenever they are idle."""
