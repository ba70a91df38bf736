{
  "type": "order_shipped",
  "order_id": "${order_id}",
  "tracking_url": "${tracking_url}"
}
