-- For wrk: posts the benchmark's 297 bytes.
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = '{"order_id":"A-1002934","amount":129.95,"currency":"EUR","customer":{"id":48213,"name":"Jane Example","email":"jane.example@example.com"},"items":[{"sku":"KB-87-ISO","qty":1,"price":99.0},{"sku":"CBL-USB-C-2M","qty":2,"price":15.475}],"note":"leave at reception","ts":"2026-11-23T08:00:00Z","v":1}'
