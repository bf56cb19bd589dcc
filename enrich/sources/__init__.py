"""Readers of Zeek and Suricata logs: files in, batches of columns out."""
