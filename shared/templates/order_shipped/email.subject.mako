Your order ${order_id} is on its way
