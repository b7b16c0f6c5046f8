-- Void and red jobs by the invoice that they are about: at most one of them may void or wholly reverse it.
CREATE INDEX jobs_about ON jobs (
    seller,
    json_extract(body, '$.kind'),
    json_extract(body, '$.original.code'),
    json_extract(body, '$.original.number')
) WHERE json_extract(body, '$.original.code') IS NOT NULL;
