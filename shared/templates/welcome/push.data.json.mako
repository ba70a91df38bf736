{
  "type": "welcome",
  "screen": "home"
}
