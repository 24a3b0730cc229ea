"""What must hold of a whole ledger at any time, asked in SQL of its own.

The numbers are those of the invariants that the ledger promises; nothing here uses the product's
code but the function that makes a link, which has a test of its own.
"""

from typing import LiteralString

import asyncpg

# Each finds what is wrong: no row, nothing wrong.
CHECKS: dict[str, LiteralString] = {
    "1 the balance is the sum of the postings": """
        SELECT a.email, a.balance, sum(p.amount) FROM public.user_balances AS a
        LEFT JOIN credits.postings AS p ON p.account = a.id WHERE a.head IS NOT NULL
        GROUP BY a.id HAVING a.balance IS DISTINCT FROM sum(p.amount)""",
    "1 what was spent is the sum of charges less refunds": """
        SELECT a.email, a.total_spent FROM public.user_balances AS a
        JOIN credits.postings AS p ON p.account = a.id WHERE a.head IS NOT NULL
        GROUP BY a.id HAVING a.total_spent <> sum(CASE
            WHEN p.kind IN ('charge', 'refund') THEN -p.amount
            WHEN p.kind = 'adoption' THEN (p.metadata->>'total_spent')::numeric ELSE 0 END)""",
    "2 nothing leaves less than the floor": """
        SELECT p.account, p.movement, p.balance_after FROM credits.postings AS p
        WHERE p.amount < 0 AND p.balance_after < -5""",
    "3 each posting stands on the one before it": """
        SELECT * FROM (SELECT p.account, p.movement, p.amount, p.balance_after,
            lag(p.balance_after, 1, 0.00) OVER w AS before
            FROM credits.postings AS p WHERE p.account > 0
            WINDOW w AS (PARTITION BY p.account ORDER BY p.movement)) AS chain
        WHERE balance_after <> before + amount""",
    "3 the last posting is what the account says": """
        SELECT a.email FROM public.user_balances AS a LEFT JOIN LATERAL (
            SELECT p.movement, p.balance_after, p.remainder, p.link FROM credits.postings AS p
            WHERE p.account = a.id ORDER BY p.movement DESC LIMIT 1) AS last ON true
        WHERE a.head IS NOT NULL AND (a.movement, a.balance, a.remainder, a.head) IS DISTINCT FROM
            (last.movement, last.balance_after, last.remainder, last.link)""",
    "3 every link is of its posting and of the link before it": """
        SELECT * FROM (SELECT p.account, p.movement, p.link, credits.link(
                coalesce(lag(p.link) OVER w, sha256(convert_to(credits.fold(a.email), 'UTF8'))),
                ROW(p.account, p.movement, p.amount, p.counter, p.kind, p.balance_after, p.cost,
                    p.remainder, p.hold, p.refers, p.key, p.params,
                    coalesce(t.operation, p.operation), coalesce(t.metadata, p.metadata), NULL,
                    p.created_at, NULL)::credits.postings) AS expected
            FROM credits.postings AS p JOIN public.user_balances AS a ON a.id = p.account
            LEFT JOIN public.credit_transactions AS t ON t.id = p.transaction
            WINDOW w AS (PARTITION BY p.account ORDER BY p.movement)) AS chain
        WHERE link IS DISTINCT FROM expected""",
    "4 one posting for a key": """
        SELECT account, key FROM credits.postings WHERE key IS NOT NULL
        GROUP BY account, key HAVING count(*) > 1""",
    "8 what is held is under open holds": """
        SELECT a.email, a.held FROM public.user_balances AS a WHERE a.held <> coalesce((
            SELECT sum(h.amount) FROM credits.holds AS h
            WHERE h.account = a.id AND h.state = 'open'), 0)""",
    "8 a hold is taken once, and given back once when it has ended": """
        SELECT h.id, h.state FROM credits.holds AS h WHERE
            (SELECT array_agg(p.amount) FROM credits.postings AS p
                WHERE p.account = h.account AND p.hold = h.id AND p.kind = 'hold'
                    AND p.movement = h.opened) IS DISTINCT FROM ARRAY[-h.amount]
            OR (SELECT coalesce(array_agg(p.amount || p.kind), '{}') FROM credits.postings AS p
                WHERE p.account = h.account AND p.hold = h.id AND p.kind IN ('release', 'expire'))
            <> CASE h.state WHEN 'open' THEN '{}'::text[]
                WHEN 'expired' THEN ARRAY[h.amount || 'expire']
                ELSE ARRAY[h.amount || 'release'] END
            OR (SELECT count(*) FROM credits.postings AS p WHERE p.account = h.account
                AND p.hold = h.id AND p.kind = 'charge') <> (h.state = 'settled')::int""",
    "8 no posting speaks of a hold that is not there": """
        SELECT p.account, p.movement FROM credits.postings AS p WHERE p.hold IS NOT NULL
            AND NOT EXISTS (SELECT FROM credits.holds AS h
                WHERE h.id = p.hold AND h.account = p.account)""",
    "8 nothing ends before the account expects it": """
        SELECT a.email FROM public.user_balances AS a WHERE a.expires_at IS DISTINCT FROM
            least(a.expires_at,
                (SELECT min(h.expires_at) FROM credits.holds AS h
                    WHERE h.account = a.id AND h.state = 'open'),
                (SELECT min(g.expires_at) FROM credits.grants AS g
                    WHERE g.account = a.id AND g.remaining > 0))""",
    "8 the promotional part is what is left of grants": """
        SELECT a.email, a.promo FROM public.user_balances AS a WHERE a.promo <> coalesce((
            SELECT sum(g.remaining) FROM credits.grants AS g WHERE g.account = a.id), 0)""",
    "8 a grant was drawn, given back and lapsed, and nothing else": """
        SELECT g.id, g.remaining FROM credits.grants AS g WHERE g.remaining <> g.amount
            - coalesce((SELECT sum(d.amount) FROM credits.draws AS d WHERE d.grant_id = g.id), 0)
            + coalesce((SELECT sum(d.amount) FROM credits.draws AS d
                JOIN credits.holds AS h ON h.opened = d.movement
                WHERE d.grant_id = g.id AND h.state <> 'open'), 0)
            + coalesce((SELECT sum(p.amount) FROM credits.postings AS p
                WHERE p.account = g.account AND p.refers = g.id AND p.kind = 'lapse'), 0)""",
    "8 what a hold has of grants is what it has drawn": """
        SELECT h.id FROM credits.holds AS h WHERE h.state = 'open' AND h.promo <> coalesce((
            SELECT sum(d.amount) FROM credits.draws AS d WHERE d.movement = h.opened), 0)""",
    "9 no NaN": """
        SELECT account, movement FROM credits.postings WHERE 'NaN' IN
            (amount, balance_after, cost, remainder)""",
    "9 no lost remainder": """
        SELECT * FROM (SELECT p.account, p.movement, p.remainder,
            lag(p.remainder, 1, 0.0) OVER w + coalesce(p.cost + p.amount - h.shortfall,
                p.cost + p.amount, 0) AS expected
            FROM credits.postings AS p LEFT JOIN credits.holds AS h
                ON h.closed = p.movement AND h.account = p.account
            WHERE p.account > 0
            WINDOW w AS (PARTITION BY p.account ORDER BY p.movement)) AS carried
        WHERE remainder <> expected""",
    "10 every movement has two sides that sum to zero": """
        SELECT movement FROM credits.postings GROUP BY movement
        HAVING sum(amount) <> 0 OR count(*) <> 2 OR min(account) <> max(counter)""",
    "10 the house's account of holds is what is held": """
        SELECT 1 FROM (SELECT coalesce(sum(amount), 0) AS held FROM credits.postings
            WHERE account = -4) AS house
        WHERE held <> (SELECT coalesce(sum(a.held), 0) FROM public.user_balances AS a)""",
    "the documented table has the charges, and they say the same": """
        SELECT p.account, p.movement FROM credits.postings AS p
        JOIN public.user_balances AS a ON a.id = p.account
        LEFT JOIN public.credit_transactions AS t ON t.id = p.transaction
        WHERE CASE WHEN p.kind = 'charge' AND p.amount < 0
            THEN (t.email, t.amount, t.balance_after, t.created_at, t.movement) IS DISTINCT FROM
                (a.email, -p.amount, p.balance_after, p.created_at, p.movement)
            ELSE p.transaction IS NOT NULL END""",
    "the documented table has nothing that no posting tells": """
        SELECT t.id FROM public.credit_transactions AS t
        WHERE t.movement IS NOT NULL
            AND NOT EXISTS (SELECT FROM credits.postings AS p WHERE p.transaction = t.id)""",
    "an account is told of once for every fall under the threshold": """
        SELECT l.id FROM credits.alerts AS l JOIN credits.postings AS p
            ON p.account = l.account AND p.movement = l.movement
        WHERE p.balance_after >= l.threshold OR p.balance_after <> l.balance
        UNION ALL
        SELECT (array_agg(l.id))[1] FROM credits.alerts AS l
        GROUP BY l.account, l.movement HAVING count(*) > 1""",
    "no address has two accounts in use": """
        SELECT credits.fold(a.email) FROM public.user_balances AS a
        WHERE a.head IS NOT NULL AND a.frozen IS NULL
        GROUP BY credits.fold(a.email) HAVING count(*) > 1""",
}


async def broken_invariants(witness: "asyncpg.Connection[asyncpg.Record]") -> dict[str, list[str]]:
    """Return what does not hold, and of which rows; nothing if all is well."""
    found: dict[str, list[str]] = {}
    async with witness.transaction(isolation="repeatable_read", readonly=True):
        for name, question in CHECKS.items():
            if rows := await witness.fetch(question + " LIMIT 5"):
                found[name] = [str(row) for row in rows]
    return found
