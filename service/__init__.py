"""The service: YOLO trainings started over HTTP and followed live as Server-Sent Events."""
