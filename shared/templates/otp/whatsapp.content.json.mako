{
  "content_sid": "HX00000000000000000000000000002001",
  "content_variables": {
    "1": "${code}",
    "2": "${expires_minutes}"
  }
}
