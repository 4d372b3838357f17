"""What people see of a training: its progress, its logs for TensorBoard, its learning curve."""
