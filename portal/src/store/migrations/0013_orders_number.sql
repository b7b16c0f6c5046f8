-- What a till's receipt bears beside a code that cannot be scanned is the number of its order.
CREATE INDEX orders_number ON orders (number);
