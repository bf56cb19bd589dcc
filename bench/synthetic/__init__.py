"""A made-up site's traffic as Zeek or Suricata logs: seeded, of any size, with uids that agree across the logs.

`values` turns whole numbers into names, addresses and banners; `site` decides who talks to whom and when; `flows` turns
those decisions into log rows; `schema` and `formats` write them as Zeek 8 and Suricata 7 do. All of it works on whole
columns, a chunk of flows at a time, so that ten million flows take minutes and a bounded amount of memory.
"""
