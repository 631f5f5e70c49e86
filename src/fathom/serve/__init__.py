"""The reward server, and the client for it.

    fathom serve --model Qwen/Qwen3-32B --base-url http://localhost:8000/v1 --judge spct
    RewardClient("http://127.0.0.1:8090").rewards([{"prompt": "2 + 2?", "response": "4"}])

`service` judges; it knows no protocol. `native` and each file of `dialects` translate one protocol into its calls, and
`admission` decides which requests reach them. `client` needs only aiohttp, so a trainer can import it without the extra
`serve`.
"""
