##! Logs the payload sizes of the first packets that each side of a connection
##! sends, in conn.log: services use messages of typical sizes at the beginning
##! of a session, even when they are encrypted.
##!
##! Not loaded with the rest. Zeek offers these sizes only packet by packet, so
##! this costs an event for each of a connection's first packets: bounded, but
##! more than all the other scripts together.

@load base/protocols/conn

module ZeekEnrich;

export {
	## How many packets of each direction to look at.
	option sized_packets: count = 8;
}

redef record Conn::Info += {
	## The payload sizes in bytes of those of the originator's first packets
	## that carried data.
	orig_sizes: vector of count &log &optional;
	## The payload sizes in bytes of those of the responder's first packets
	## that carried data.
	resp_sizes: vector of count &log &optional;
};

type PacketSizes: record {
	orig: vector of count &default=vector();
	resp: vector of count &default=vector();
	## Payload bytes of the packets looked at so far.
	orig_total: count &default=0;
	resp_total: count &default=0;
};

redef record connection += {
	## The payload sizes seen in the connection.
	enrich_sizes: PacketSizes &optional;
};

event new_connection(c: connection)
	{
	local proto = get_port_transport_proto(c$id$resp_p);
	if ( proto != tcp && proto != udp )
		return;

	c$enrich_sizes = PacketSizes();

	# A side's first TCP packet is its SYN.
	local first = proto == tcp ? 2 : 1;
	ConnThreshold::set_packets_threshold(c, first, T);
	ConnThreshold::set_packets_threshold(c, first, F);
	}

event ConnThreshold::packets_threshold_crossed(c: connection, threshold: count,
    is_orig: bool)
	{
	if ( ! c?$enrich_sizes || threshold > sized_packets )
		return;

	local sizes = c$enrich_sizes;

	if ( is_orig )
		{
		if ( c$orig$size > sizes$orig_total )
			sizes$orig += c$orig$size - sizes$orig_total;
		sizes$orig_total = c$orig$size;
		}
	else
		{
		if ( c$resp$size > sizes$resp_total )
			sizes$resp += c$resp$size - sizes$resp_total;
		sizes$resp_total = c$resp$size;
		}

	if ( threshold < sized_packets )
		ConnThreshold::set_packets_threshold(c, threshold + 1, is_orig);
	}

event connection_state_remove(c: connection)
	{
	if ( ! c?$enrich_sizes || ! c?$conn )
		return;

	if ( |c$enrich_sizes$orig| > 0 )
		c$conn$orig_sizes = c$enrich_sizes$orig;
	if ( |c$enrich_sizes$resp| > 0 )
		c$conn$resp_sizes = c$enrich_sizes$resp;
	}
