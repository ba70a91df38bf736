"""What the providers tell the gateway later; each is one module: its signature and its receipts."""
