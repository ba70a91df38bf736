"""A stand-in for SendGrid, Twilio and FCM at wire level."""
