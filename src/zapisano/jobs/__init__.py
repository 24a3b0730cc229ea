"""Work for now on PgQueuer, work for later as due rows."""
