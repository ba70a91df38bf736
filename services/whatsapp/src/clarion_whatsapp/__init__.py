"""The WhatsApp worker: renders messages and hands them to Twilio."""
