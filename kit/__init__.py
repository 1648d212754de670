"""What every service is built from; knows no service."""
