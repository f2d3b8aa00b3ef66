"""What jobs read: opened, checked and made ready for the stages. Jobs import it, and it the stages."""
