"""A server of our own that speaks the public protocol of TensorFlow Serving, and KServe v2 over gRPC beside it.

It takes the flags of `tensorflow_model_server` and answers as that does; the model inside is any variant that an
adapter can open. It is not TensorFlow Serving, and no result may call it so.
"""
