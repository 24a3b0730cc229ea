"""The tenant's bot: customers book, the owner runs the business."""
