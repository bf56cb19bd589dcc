##! All of zeek-enrich's scripts that a site wants by default. Each can be
##! loaded on its own instead; packet-sizes, which costs more, is loaded only
##! when asked for.

@load ./banners
@load ./first-payload
@load ./logs
@load ./sites
@load ./syn
