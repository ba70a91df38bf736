"""What vendors say that more than one service must understand: tables, no code of theirs."""
