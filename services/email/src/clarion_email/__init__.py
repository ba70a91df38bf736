"""The email worker: renders emails and hands them to SendGrid."""
