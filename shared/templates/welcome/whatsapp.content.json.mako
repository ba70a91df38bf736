{
  "content_sid": "HX00000000000000000000000000001001",
  "content_variables": {
    "1": "${user_name}"
  }
}
