"""What `verify` asks: questions to which a sound ledger has no answer, for a range of accounts.

Each answer names the invariant that does not hold (`credits/verify.py` has them), the account, the
movement where there is one, what should be there and what is. $1 and $2 are the range: above the
first account, to the second. $3 is how many answers are enough.
"""

from typing import LiteralString

from zapisano.db import Connection, Row

# Along each account's chain. The link is made anew of what the posting and its charge say now.
CHAIN: LiteralString = """
WITH line AS (
    SELECT p.account, p.movement, p.amount, p.balance_after, p.kind, p.cost, p.remainder, p.counter,
        p.link, p.transaction, p.metadata, p.created_at, a.email, t.id AS kept,
        t.email AS kept_email, t.amount AS kept_amount, t.balance_after AS kept_balance,
        t.created_at AS kept_at,
        t.movement AS kept_movement,
        row_number() OVER chain = 1 AS is_first,
        coalesce(lag(p.balance_after) OVER chain, 0) + p.amount AS proper_balance,
        -- What the account could not bear of a settlement was forgiven, and is kept with the hold.
        coalesce(lag(p.remainder) OVER chain, 0) + CASE WHEN p.cost IS NULL THEN 0
            ELSE p.cost + p.amount - coalesce(
                (SELECT h.shortfall FROM credits.holds AS h WHERE h.id = p.hold), 0) END
            AS proper_remainder,
        credits.link(
            coalesce(lag(p.link) OVER chain, sha256(convert_to(credits.fold(a.email), 'UTF8'))),
            ROW(p.account, p.movement, p.amount, p.counter, p.kind, p.balance_after, p.cost,
                p.remainder, p.hold, p.refers, p.key, p.params, coalesce(t.operation, p.operation),
                CASE WHEN t.id IS NULL THEN p.metadata ELSE t.metadata END, NULL, p.created_at,
                NULL)::credits.postings
        ) AS proper_link
    FROM credits.postings AS p
    LEFT JOIN public.user_balances AS a ON a.id = p.account
    LEFT JOIN public.credit_transactions AS t ON t.id = p.transaction
    WHERE p.account > $1 AND p.account <= $2 AND p.account >= 0
    WINDOW chain AS (PARTITION BY p.account ORDER BY p.movement)
), judged AS (
    SELECT l.account, l.movement, l.amount, l.balance_after, l.kind, l.cost, l.remainder, l.email,
        l.link, l.proper_link, l.proper_balance, l.proper_remainder, l.kept, l.kept_email,
        l.kept_amount, l.kept_balance, l.is_first, l.transaction, l.kept_at, l.created_at,
        l.kept_movement, l.metadata, l.email IS NULL AS is_stray, l.counter,
        CASE WHEN l.kind IN ('charge', 'refund') THEN -1
            WHEN l.kind IN ('opening', 'grant', 'lapse') THEN -2
            WHEN l.kind = 'topup' THEN -3
            WHEN l.kind IN ('hold', 'release', 'expire') THEN -4
            WHEN l.kind = 'adjust' THEN -5 WHEN l.kind = 'adoption' THEN -6 END
            AS proper_counter,
        CASE WHEN l.kind IN ('charge', 'hold', 'lapse') THEN l.amount > 0
            WHEN l.kind NOT IN ('adjust', 'adoption') THEN l.amount < 0
            ELSE false END AS is_wrong_way,
        l.is_first <> (l.kind IN ('opening', 'adoption')) AS begins_wrong,
        l.balance_after <> l.proper_balance AS is_out_of_order,
        l.amount < 0 AND l.kind <> 'adoption' AND l.balance_after < $4 AS is_too_low,
        l.email IS NOT NULL AND l.link IS DISTINCT FROM l.proper_link AS is_unlinked,
        'NaN' IN (l.amount, l.balance_after, l.remainder, coalesce(l.cost, 0)) AS is_no_number,
        l.remainder <> l.proper_remainder OR NOT (l.remainder >= 0 AND l.remainder < 0.01)
            AS is_lost,
        CASE WHEN l.kind = 'charge' AND l.amount < 0
            THEN (l.kept_amount, l.kept_balance, l.kept_at, credits.fold(l.kept_email),
                l.kept_movement) IS DISTINCT FROM (-l.amount, l.balance_after, l.created_at,
                credits.fold(l.email), l.movement) OR l.metadata IS NOT NULL
            ELSE l.transaction IS NOT NULL END AS is_miskept
    FROM line AS l
)
SELECT f.invariant, j.account, j.movement, f.expected, f.found
FROM judged AS j CROSS JOIN LATERAL (VALUES
    ('stray', j.is_stray AND j.is_first, 'an account with this number', 'none'),
    ('beginning', j.begins_wrong, 'one opening or adoption, first of all', j.kind),
    ('house', j.counter IS DISTINCT FROM j.proper_counter,
        coalesce(j.proper_counter::text, 'no such kind as ' || j.kind), j.counter::text),
    ('way', j.is_wrong_way, 'a ' || j.kind || ' the other way', j.amount::text),
    ('order', j.is_out_of_order, j.proper_balance::text, j.balance_after::text),
    ('floor', j.is_too_low, 'no debit below ' || $4::numeric, j.balance_after::text),
    ('link', j.is_unlinked, encode(j.proper_link, 'hex'), encode(j.link, 'hex')),
    ('numbers', j.is_no_number, 'numbers',
        concat_ws(', ', j.amount, j.balance_after, j.remainder, j.cost)),
    ('remainder', j.is_lost, j.proper_remainder::text, j.remainder::text),
    ('charge', j.is_miskept,
        CASE WHEN j.kind = 'charge' THEN concat_ws(', ', 'a charge of ' || -j.amount,
            'balance ' || j.balance_after, j.email, j.created_at, 'movement ' || j.movement)
            ELSE 'no charge' END,
        CASE WHEN j.kept IS NULL THEN 'none' ELSE concat_ws(', ', 'a charge of ' || j.kept_amount,
            'balance ' || j.kept_balance, j.kept_email, j.kept_at,
            'movement ' || j.kept_movement, 'beside it ' || j.metadata::text) END)
) AS f (invariant, is_broken, expected, found)
WHERE (j.is_stray OR j.begins_wrong OR j.is_wrong_way OR j.is_out_of_order OR j.is_too_low
    OR j.is_unlinked OR j.is_no_number OR j.is_lost OR j.is_miskept
    OR j.counter IS DISTINCT FROM j.proper_counter)
    AND f.is_broken
LIMIT $3"""

# The accounts as they stand, and what their postings, holds and grants make of them.
ACCOUNTS: LiteralString = """
WITH moved AS (
    SELECT p.account, sum(p.amount) AS balance, max(p.movement) AS movement,
        coalesce(sum(-p.amount) FILTER (WHERE p.kind IN ('charge', 'refund')), 0)
        + coalesce(sum(CASE WHEN jsonb_typeof(p.metadata -> 'total_spent') = 'number'
            THEN (p.metadata ->> 'total_spent')::numeric END)
            FILTER (WHERE p.kind = 'adoption'), 0) AS spent
    FROM credits.postings AS p WHERE p.account > $1 AND p.account <= $2 AND p.account >= 0
    GROUP BY p.account
), held AS (
    SELECT h.account, sum(h.amount) AS amount, min(h.expires_at) AS ends
    FROM credits.holds AS h WHERE h.account > $1 AND h.account <= $2 AND h.state = 'open'
    GROUP BY h.account
), lots AS (
    SELECT g.account, sum(g.remaining) AS remaining, min(g.expires_at) AS ends
    FROM credits.grants AS g WHERE g.account > $1 AND g.account <= $2 AND g.remaining > 0
    GROUP BY g.account
)
SELECT f.invariant, a.id AS account, NULL::bigint AS movement, f.expected, f.found
FROM public.user_balances AS a
LEFT JOIN moved AS m ON m.account = a.id
LEFT JOIN held AS h ON h.account = a.id
LEFT JOIN lots AS g ON g.account = a.id
LEFT JOIN credits.postings AS p ON p.account = a.id AND p.movement = m.movement
CROSS JOIN LATERAL (VALUES
    ('balance', a.balance IS DISTINCT FROM m.balance, m.balance::text, a.balance::text),
    ('order', a.balance IS DISTINCT FROM p.balance_after,
        p.balance_after::text, a.balance::text),
    ('link', (a.movement, a.head) IS DISTINCT FROM (p.movement, p.link),
        concat_ws(', ', 'movement ' || p.movement, encode(p.link, 'hex')),
        concat_ws(', ', 'movement ' || a.movement, encode(a.head, 'hex'))),
    ('spent', a.total_spent IS DISTINCT FROM m.spent, m.spent::text, a.total_spent::text),
    ('remainder', a.remainder IS DISTINCT FROM p.remainder,
        p.remainder::text, a.remainder::text),
    ('holds', a.held <> coalesce(h.amount, 0),
        'under open holds ' || coalesce(h.amount, 0), a.held::text),
    ('grants', a.promo <> coalesce(g.remaining, 0),
        'left of grants ' || coalesce(g.remaining, 0), a.promo::text),
    ('ends', least(h.ends, g.ends) < coalesce(a.expires_at, 'infinity'),
        least(h.ends, g.ends)::text, coalesce(a.expires_at::text, 'never')),
    ('numbers', 'NaN' IN (a.balance, a.total_spent, a.held, a.promo, a.remainder), 'numbers',
        concat_ws(', ', a.balance, a.total_spent, a.held, a.promo, a.remainder))
) AS f (invariant, is_broken, expected, found)
WHERE a.id > $1 AND a.id <= $2 AND (a.head IS NOT NULL OR m.account IS NOT NULL) AND f.is_broken
LIMIT $3"""

# Each movement has its other side, with the opposite sum.
SIDES: LiteralString = """
SELECT 'double' AS invariant, p.account, p.movement, o.name || ' ' || -p.amount AS expected,
    coalesce(o.name || ' ' || h.amount, 'none') AS found
FROM credits.postings AS p
LEFT JOIN credits.postings AS h ON h.account = p.counter AND h.movement = p.movement
LEFT JOIN credits.house_accounts AS o ON o.account = p.counter
WHERE p.account > $1 AND p.account <= $2 AND p.account >= 0
    AND h.amount IS DISTINCT FROM -p.amount
LIMIT $3"""

CLASHES: LiteralString = """
SELECT 'clash' AS invariant, a.id AS account, NULL::bigint AS movement,
    'one account of ' || credits.fold(a.email) || ' in use' AS expected, b.id || ' too' AS found
FROM public.user_balances AS a
JOIN public.user_balances AS b ON credits.fold(b.email) = credits.fold(a.email) AND b.id > a.id
WHERE a.id > $1 AND a.id <= $2 AND a.frozen IS NULL AND a.head IS NOT NULL
    AND b.frozen IS NULL AND b.head IS NOT NULL
LIMIT $3"""

KEYS: LiteralString = """
SELECT 'key' AS invariant, p.account, max(p.movement) AS movement,
    'one posting with the key ' || p.key AS expected, count(p.movement)::text AS found
FROM credits.postings AS p
WHERE p.account > $1 AND p.account <= $2 AND p.key IS NOT NULL
GROUP BY p.account, p.key HAVING count(p.movement) > 1
LIMIT $3"""

# Each hold was opened once, and has ended once or not yet, by postings that say so.
HOLDS: LiteralString = """
WITH told AS (
    SELECT p.account, p.hold,
        max(p.movement) FILTER (WHERE p.kind = 'hold') AS opened,
        max(p.movement) FILTER (WHERE p.kind <> 'hold') AS closed,
        count(p.movement) FILTER (WHERE p.kind = 'hold') AS opens,
        count(p.movement) FILTER (WHERE p.kind = 'release') AS releases,
        count(p.movement) FILTER (WHERE p.kind = 'expire') AS expiries,
        count(p.movement) FILTER (WHERE p.kind = 'charge') AS charges,
        -sum(p.amount) FILTER (WHERE p.kind = 'hold') AS amount,
        sum(p.amount) FILTER (WHERE p.kind IN ('release', 'expire')) AS back
    FROM credits.postings AS p
    WHERE p.account > $1 AND p.account <= $2 AND p.hold IS NOT NULL
    GROUP BY p.account, p.hold
), kept AS (
    SELECT h.id, h.account, h.amount, h.state, h.opened, h.closed,
        (h.state IN ('settled', 'released'))::int AS releases,
        (h.state = 'expired')::int AS expiries, (h.state = 'settled')::int AS charges,
        CASE WHEN h.state <> 'open' THEN h.amount END AS back
    FROM credits.holds AS h WHERE h.account > $1 AND h.account <= $2
), drawn AS (
    SELECT h.id, h.account, h.opened, h.promo, coalesce(sum(d.amount), 0) AS amount
    FROM credits.holds AS h LEFT JOIN credits.draws AS d ON d.movement = h.opened
    WHERE h.account > $1 AND h.account <= $2 GROUP BY h.id
)
SELECT 'holds' AS invariant, coalesce(k.account, t.account) AS account,
    coalesce(k.opened, t.opened, t.closed) AS movement,
    coalesce(concat_ws(', ', k.state, 'opened by ' || k.opened, 'of ' || k.amount,
        'closed by ' || k.closed), 'no hold') AS expected,
    coalesce(concat_ws(', ', t.opens || ' opened by ' || t.opened, 'of ' || t.amount,
        t.releases || ' released', t.expiries || ' expired', t.charges || ' charged',
        'the last ' || t.closed), 'no posting') AS found
FROM kept AS k FULL JOIN told AS t ON t.hold = k.id AND t.account = k.account
WHERE (k.opened, k.closed, 1, k.releases, k.expiries, k.charges, k.amount, k.back)
    IS DISTINCT FROM
    (t.opened, t.closed, t.opens, t.releases, t.expiries, t.charges, t.amount, t.back)
UNION ALL
SELECT 'holds', d.account, d.opened, 'drawn from grants ' || d.promo, d.amount::text
FROM drawn AS d WHERE d.promo <> d.amount
LIMIT $3"""

# What is left of each grant, by what was taken from it; and that whatever took it was a debit.
GRANTS: LiteralString = """
WITH lots AS (
    SELECT g.id, g.account, g.amount, g.remaining FROM credits.grants AS g
    WHERE g.account > $1 AND g.account <= $2
), taken AS (
    SELECT d.movement, d.grant_id, d.amount, g.account, p.amount AS debit,
        p.kind <> 'hold' OR h.id IS NOT NULL AS stands
    FROM lots AS g
    JOIN credits.draws AS d ON d.grant_id = g.id
    LEFT JOIN credits.postings AS p ON p.account = g.account AND p.movement = d.movement
    LEFT JOIN credits.holds AS h
        ON h.account = g.account AND h.opened = d.movement AND h.state = 'open'
), drawn AS (
    SELECT t.grant_id, sum(t.amount) AS amount FROM taken AS t WHERE t.stands GROUP BY t.grant_id
), lapsed AS (
    SELECT p.account, p.refers, sum(p.amount) AS amount FROM credits.postings AS p
    WHERE p.account > $1 AND p.account <= $2 AND p.kind = 'lapse' GROUP BY p.account, p.refers
)
SELECT 'grants' AS invariant, g.account, g.id AS movement,
    concat_ws(', ', 'left ' || (g.amount - coalesce(d.amount, 0) + coalesce(l.amount, 0)),
        'of ' || coalesce(p.amount::text, 'no grant')) AS expected,
    concat_ws(', ', 'left ' || g.remaining, 'of ' || g.amount) AS found
FROM lots AS g
LEFT JOIN drawn AS d ON d.grant_id = g.id
LEFT JOIN lapsed AS l ON l.account = g.account AND l.refers = g.id
LEFT JOIN credits.postings AS p
    ON p.account = g.account AND p.movement = g.id AND p.kind = 'grant'
WHERE g.remaining <> g.amount - coalesce(d.amount, 0) + coalesce(l.amount, 0)
    OR p.amount IS DISTINCT FROM g.amount
UNION ALL
SELECT 'grants', t.account, t.movement,
    'drawn no more than a debit of ' || greatest(-max(t.debit), 0), sum(t.amount)::text
FROM taken AS t GROUP BY t.account, t.movement
HAVING sum(t.amount) > greatest(-max(t.debit), 0)
LIMIT $3"""

REFUNDS: LiteralString = """
SELECT 'refunds' AS invariant, r.account, r.refers AS movement,
    'refunded no more than ' || coalesce(-max(c.amount), 0) AS expected,
    sum(r.amount)::text AS found
FROM credits.postings AS r
LEFT JOIN credits.postings AS c
    ON c.account = r.account AND c.movement = r.refers AND c.kind = 'charge'
WHERE r.account > $1 AND r.account <= $2 AND r.kind = 'refund'
GROUP BY r.account, r.refers HAVING sum(r.amount) > coalesce(-max(c.amount), 0)
LIMIT $3"""

# Charges of which no posting knows, or two do. Those up to the one that the account's adoption
# names, and without a movement, are the original system's.
CHARGES: LiteralString = """
WITH told AS (
    SELECT p.account, p.transaction, count(p.movement) AS times, max(p.movement) AS movement
    FROM credits.postings AS p
    WHERE p.account > $1 AND p.account <= $2 AND p.transaction IS NOT NULL
    GROUP BY p.account, p.transaction
), known AS (
    SELECT a.id, a.email, first.upto FROM public.user_balances AS a
    CROSS JOIN LATERAL (
        SELECT greatest((p.metadata ->> 'transactions')::bigint, o.transactions) AS upto
        FROM credits.postings AS p CROSS JOIN credits.carried_over AS o
        WHERE p.account = a.id ORDER BY p.movement LIMIT 1) AS first
    WHERE a.id > $1 AND a.id <= $2
)
SELECT 'charge' AS invariant, k.id AS account, NULL::bigint AS movement,
    'a posting of charge ' || t.id || ', of ' || t.amount AS expected, 'none' AS found
FROM known AS k JOIN public.credit_transactions AS t ON t.email = k.email
LEFT JOIN told AS p ON p.account = k.id AND p.transaction = t.id
WHERE (t.id > k.upto OR t.movement IS NOT NULL) AND p.account IS NULL
UNION ALL
SELECT 'charge', p.account, p.movement, 'one posting of charge ' || p.transaction, p.times::text
FROM told AS p WHERE p.times > 1
LIMIT $3"""

# By range; the chain's also asks for the floor, as $4.
QUESTIONS = (ACCOUNTS, CLASHES, SIDES, KEYS, HOLDS, GRANTS, REFUNDS, CHARGES)

# Rows of the house that belong to no movement, and a movement's number used twice.
STRAYS: LiteralString = """
SELECT 'double' AS invariant, h.account, h.movement, 'the other side of ' || h.amount AS expected,
    'none' AS found
FROM credits.postings AS h
LEFT JOIN credits.postings AS p
    ON p.movement = h.movement AND p.counter = h.account AND p.account >= 0
WHERE h.account < 0 AND p.movement IS NULL
UNION ALL
SELECT 'double', max(p.account), p.movement, 'one account', count(p.account)::text
FROM credits.postings AS p WHERE p.account >= 0
GROUP BY p.movement HAVING count(p.account) > 1
LIMIT $1"""

NOBODYS_CHARGES: LiteralString = """
SELECT 'stray' AS invariant, NULL::integer AS account, NULL::bigint AS movement,
    'an account of ' || t.email || ', for charge ' || t.id AS expected, 'none' AS found
FROM public.credit_transactions AS t LEFT JOIN public.user_balances AS a ON a.email = t.email
WHERE a.id IS NULL AND (t.movement IS NOT NULL
    OR t.id > (SELECT o.transactions FROM credits.carried_over AS o))
LIMIT $1"""


async def hold_still(conn: Connection) -> None:
    """See one moment from here to the transaction's end, whatever is written meanwhile.

    It must be the transaction's first statement.
    """
    await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


async def borders(conn: Connection, size: int) -> list[tuple[int, int]]:
    """Return where to cut the accounts into ranges of `size`, with how many there are up to each.

    The last range has no border: it goes on to the largest number there can be.
    """
    rows = await conn.fetch(
        """SELECT id, n FROM (
               SELECT id, row_number() OVER (ORDER BY id) AS n FROM public.user_balances) AS a
           WHERE n % $1 = 0 ORDER BY n""",
        size,
    )
    return [(row["id"], row["n"]) for row in rows]


async def chain(conn: Connection, above: int, upto: int, limit: int, *, floor: object) -> list[Row]:
    """Return what is wrong along the chains of a range of accounts."""
    return await conn.fetch(CHAIN, above, upto, limit, floor)


async def ask(
    conn: Connection, question: LiteralString, above: int, upto: int, limit: int
) -> list[Row]:
    """Return what is wrong by one of `QUESTIONS` in a range of accounts."""
    return await conn.fetch(question, above, upto, limit)


async def sides_differ(conn: Connection) -> bool:
    """Say whether the house's rows are other than the accounts' movements ask for, all in all."""
    differ: bool = await conn.fetchval(
        """SELECT EXISTS (
               SELECT FROM (
                   SELECT account, count(movement) AS rows, sum(amount) AS amount
                   FROM credits.postings WHERE account < 0 GROUP BY account
               ) AS h
               FULL JOIN (
                   SELECT counter, count(movement) AS rows, -sum(amount) AS amount
                   FROM credits.postings WHERE account >= 0 GROUP BY counter
               ) AS p ON p.counter = h.account
               WHERE (h.rows, h.amount) IS DISTINCT FROM (p.rows, p.amount))"""
    )
    return differ


async def strays(conn: Connection, limit: int) -> list[Row]:
    """Return rows of the house without a movement, and movements of two accounts."""
    return await conn.fetch(STRAYS, limit)


async def nobodys_charges(conn: Connection, limit: int) -> list[Row]:
    """Return charges since the ledger began of an address that has no account."""
    return await conn.fetch(NOBODYS_CHARGES, limit)


async def heads(conn: Connection, above: int, upto: int) -> list[Row]:
    """Return the accounts of a range that have a chain, by number, with its head."""
    return await conn.fetch(
        """SELECT id, email, head FROM public.user_balances
           WHERE id > $1 AND id <= $2 AND head IS NOT NULL ORDER BY id""",
        above,
        upto,
    )


async def counts(conn: Connection) -> Row:
    """Count accounts, those frozen, those not adopted yet, and movements."""
    row = await conn.fetchrow(
        """SELECT count(a.id) AS accounts,
               count(a.id) FILTER (WHERE a.frozen IS NOT NULL) AS frozen,
               count(a.id) FILTER (WHERE a.frozen IS NULL AND a.head IS NULL) AS waiting,
               (SELECT count(p.movement) FROM credits.postings AS p WHERE p.account >= 0)
                   AS movements
           FROM public.user_balances AS a"""
    )
    assert row is not None  # noqa: S101 # an aggregate has one row
    return row
