"""From timed calls to numbers that can be believed; `loop` and `schedule` run beside the model and stay light."""
