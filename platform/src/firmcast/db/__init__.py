"""The stores: a port, its adapters and the numbered migrations; what a table means is its capability's business."""
