Your order is on its way
