"""What Kaon's services share."""
