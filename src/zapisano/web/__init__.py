"""HTTP routes: master API, YooKassa webhook, checkout page, health, event stream."""
