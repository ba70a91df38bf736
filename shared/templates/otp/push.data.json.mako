{
  "type": "otp",
  "code": "${code}",
  "expires_minutes": "${expires_minutes}"
}
