{
  "content_sid": "HX00000000000000000000000000003001",
  "content_variables": {
    "1": "${user_name}",
    "2": "${order_id}",
    "3": "${carrier}",
    "4": "${tracking_url}"
  }
}
