-- The number that a till gave its order is what its merchant looks for; it stood in `orders` alone.
INSERT INTO request_words (tenant, field, word, created_at, serial)
SELECT r.tenant, 'order', o.number, r.created_at, r.serial
FROM orders o JOIN requests r ON r.tenant = o.tenant AND r.serial = o.serial
WHERE true
ON CONFLICT DO NOTHING;
