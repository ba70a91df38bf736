${carrier} has order ${order_id}. Tap to track it.
