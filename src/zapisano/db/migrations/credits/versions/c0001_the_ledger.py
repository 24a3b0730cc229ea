"""Credits: the two documented tables, and the double-entry ledger under them.

`public.user_balances` and `public.credit_transactions` are the source document's, to the letter;
they may be there already, with data of the system that was before us. Everything else is added.
"""

from alembic import op

revision = "c0001"
down_revision = None

DOCUMENTED = (
    """CREATE TABLE IF NOT EXISTS public.user_balances (
        id SERIAL PRIMARY KEY,
        email VARCHAR(255) UNIQUE NOT NULL,
        balance DECIMAL(10,2) DEFAULT 50.00 CHECK (balance >= -5.00),
        total_spent DECIMAL(10,2) DEFAULT 0.00,
        is_test_account BOOLEAN DEFAULT true,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
        updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
    )""",
    "CREATE INDEX IF NOT EXISTS idx_user_balances_email ON public.user_balances (email)",
    """CREATE TABLE IF NOT EXISTS public.credit_transactions (
        id SERIAL PRIMARY KEY,
        email VARCHAR(255) NOT NULL,
        amount DECIMAL(10,2) NOT NULL,
        operation TEXT NOT NULL,
        metadata JSONB,
        balance_after DECIMAL(10,2) NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
    )""",
    """CREATE INDEX IF NOT EXISTS idx_transactions_email_date
       ON public.credit_transactions (email, created_at DESC)""",
)

# How addresses are compared, wherever: as `zapisano.credits.model.fold` writes them, whatever the
# database's own collation makes of letters beyond ASCII. Not a function of SQL: PostgreSQL would
# copy its long text into the index, and from there into every statement that writes the table.
# It is called dear, so that no plan reads all accounts for it, however few there are when it is
# made. What an index is asked for is folded before, or PostgreSQL plans anew each time to save it.
LETTERS = [
    (letter, letter.lower())
    for letter in map(chr, range(0x80, 0x20000))  # no letter with two cases stands further on
    if letter.lower() != letter and len(letter.lower()) == 1
] + [("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}")]
DOTTED = "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}"
FOLD = f"""CREATE FUNCTION credits.fold(email text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 100000 AS $$ BEGIN RETURN
    CASE WHEN pg_catalog.octet_length(email) = pg_catalog.length(email)
    THEN pg_catalog.lower(pg_catalog.btrim(email) COLLATE "C")
    ELSE pg_catalog.translate(
        pg_catalog.replace(pg_catalog.lower(pg_catalog.btrim(email) COLLATE "C"),
            '{DOTTED}', '{DOTTED.lower()}'),
        '{"".join(letter for letter, _ in LETTERS)}',
        '{"".join(lower for _, lower in LETTERS)}') END; END $$"""

# A share of a balance, and what is charged and less than a hundredth yet. NaN is more than any
# number. Domains, because a constraint of a table is read anew for every statement that writes.
# Their checks come after the columns: otherwise those would write an adopted table anew.
DOMAINS = (
    "CREATE DOMAIN credits.share AS numeric(10,2)",
    "CREATE DOMAIN credits.fraction AS numeric(14,12)",
)
CHECKS = (
    """ALTER DOMAIN credits.share
       ADD CONSTRAINT share_sound CHECK (VALUE >= 0.0 AND VALUE < 'NaN')""",
    """ALTER DOMAIN credits.fraction
       ADD CONSTRAINT fraction_sound CHECK (VALUE >= 0.0 AND VALUE < 0.01)""",
)

# NOT VALID: what is in an adopted table stays as it is; every new row and every change obeys.
# One short constraint for a table; what else must hold, `zapisano credits verify` looks for.
ADDED = (
    # held: under open holds. remainder: charged, and less than a hundredth yet. promo: of the
    # balance, what is of grants that end. expires_at: no hold and no grant ends before it.
    # movement, head: the account's last one, and its link; without them it is not adopted yet.
    # frozen: why nobody may move it until the operator has decided.
    """ALTER TABLE public.user_balances
        ADD COLUMN held credits.share NOT NULL DEFAULT 0,
        ADD COLUMN remainder credits.fraction NOT NULL DEFAULT 0,
        ADD COLUMN promo credits.share NOT NULL DEFAULT 0,
        ADD COLUMN expires_at timestamptz,
        ADD COLUMN movement bigint,
        ADD COLUMN head bytea,
        ADD COLUMN frozen text,
        ADD CONSTRAINT user_balances_sound CHECK (frozen IS NOT NULL
            OR (balance + total_spent < 'NaN') IS TRUE) NOT VALID""",
    """CREATE INDEX user_balances_expiry ON public.user_balances (expires_at)
       WHERE expires_at IS NOT NULL""",
    "CREATE INDEX user_balances_spelling ON public.user_balances (credits.fold(email))",
    # movement: ours. The original system's charges have none.
    """ALTER TABLE public.credit_transactions
        ADD COLUMN movement bigint,
        ADD CONSTRAINT credit_transactions_is_a_charge CHECK
            (amount > 0.0 AND amount + balance_after < 'NaN') NOT VALID""",
)

LEDGER = (
    # The other side of every movement: the house's own accounts, with numbers below zero.
    """CREATE TABLE credits.house_accounts (
        account smallint PRIMARY KEY CHECK (account < 0),
        name text NOT NULL UNIQUE
    )""",
    """INSERT INTO credits.house_accounts (account, name) VALUES
        (-1, 'revenue'), (-2, 'promo'), (-3, 'cash_in'), (-4, 'holds'), (-5, 'adjustments'),
        (-6, 'carried_over')""",
    "CREATE SEQUENCE credits.movements",
    # Two rows for every movement, which sum to zero: the user's, which tells everything, and the
    # house's, which has an amount alone. No foreign key to user_balances: it would lock that row
    # once more for every posting; `zapisano credits verify` looks for strays.
    """CREATE TABLE credits.postings (
        account integer NOT NULL,
        movement bigint NOT NULL,
        amount numeric(12,2) NOT NULL,
        counter smallint,
        kind text,
        balance_after numeric(10,2),
        cost numeric(22,12),
        remainder numeric(14,12),
        hold uuid,
        refers bigint,
        key text,
        params bytea,
        operation text,
        metadata jsonb,
        transaction integer,
        created_at timestamptz,
        link bytea,
        PRIMARY KEY (account, movement),
        CONSTRAINT postings_sound CHECK (amount < 'NaN' AND (account < 0) = (link IS NULL))
    )""",
    """CREATE UNIQUE INDEX postings_once ON credits.postings (account, key)
       WHERE key IS NOT NULL""",
    """CREATE INDEX postings_refers ON credits.postings (account, refers)
       WHERE refers IS NOT NULL""",
    """CREATE TABLE credits.holds (
        id uuid PRIMARY KEY,
        account integer NOT NULL,
        amount numeric(10,2) NOT NULL CHECK (amount > 0 AND amount <> 'NaN'),
        promo numeric(10,2) NOT NULL CHECK (promo BETWEEN 0 AND amount),
        state text NOT NULL CHECK (state IN ('open', 'settled', 'released', 'expired')),
        shortfall numeric(10,2) NOT NULL DEFAULT 0 CHECK (shortfall >= 0),
        opened bigint NOT NULL,
        closed bigint,
        expires_at timestamptz NOT NULL,
        CONSTRAINT holds_closed CHECK ((state = 'open') = (closed IS NULL))
    )""",
    "CREATE INDEX holds_open ON credits.holds (account, expires_at) WHERE state = 'open'",
    # A grant that ends. `id` is the movement that brought it.
    """CREATE TABLE credits.grants (
        id bigint PRIMARY KEY,
        account integer NOT NULL,
        amount numeric(10,2) NOT NULL CHECK (amount > 0 AND amount <> 'NaN'),
        remaining numeric(10,2) NOT NULL CHECK (remaining BETWEEN 0 AND amount),
        expires_at timestamptz NOT NULL
    )""",
    """CREATE INDEX grants_left ON credits.grants (account, expires_at, id)
       WHERE remaining > 0""",
    # What a hold or a charge has taken from which grant.
    """CREATE TABLE credits.draws (
        movement bigint NOT NULL,
        grant_id bigint NOT NULL REFERENCES credits.grants (id),
        amount numeric(10,2) NOT NULL CHECK (amount > 0),
        PRIMARY KEY (movement, grant_id)
    )""",
    # The last charge of the system before us when we came. What it adds later is of the accounts
    # that were not adopted yet; each adoption says how far its account's own go.
    "CREATE TABLE credits.carried_over (transactions bigint NOT NULL)",
    """INSERT INTO credits.carried_over (transactions)
       SELECT coalesce(max(id), 0) FROM public.credit_transactions""",
    # Batches that came under a key of their own, and a digest of what was asked: their items' keys
    # are made of it and of their places, so another batch must not come under it.
    """CREATE TABLE credits.batches (
        key text PRIMARY KEY,
        params bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )""",
    # Accounts that have fallen under the threshold, to be told to the app's own server.
    """CREATE TABLE credits.alerts (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        account integer NOT NULL,
        movement bigint NOT NULL,
        balance numeric(10,2) NOT NULL,
        threshold numeric(10,2) NOT NULL,
        created_at timestamptz NOT NULL,
        attempts int NOT NULL DEFAULT 0,
        next_at timestamptz,
        delivered_at timestamptz,
        failure text,
        tried_at timestamptz
    )""",
    "CREATE INDEX alerts_next ON credits.alerts (next_at) WHERE next_at IS NOT NULL",
    # Addresses that have answered 410: they are sent nothing any more. An address may hold a
    # secret, so it is its SHA-256 that stands here.
    """CREATE TABLE credits.gone_webhooks (
        address bytea PRIMARY KEY,
        gone_at timestamptz NOT NULL
    )""",
    """CREATE TABLE credits.server_keys (
        id text PRIMARY KEY,
        digest bytea NOT NULL UNIQUE,
        name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
        scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
        most numeric(10,2) CHECK (most > 0),
        per_minute int CHECK (per_minute > 0),
        created_at timestamptz NOT NULL,
        revoked_at timestamptz
    )""",
)


def upgrade() -> None:
    for statement in (*DOCUMENTED, FOLD, *DOMAINS, *ADDED, *CHECKS, *LEDGER):
        op.execute(statement)
