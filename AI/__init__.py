"""The library under the service: `AI.model_trainer` trains YOLO models, `AI.examples` shows how to use it."""
