##! Logs what a connection's SYN and SYN+ACK tell of the TCP stacks that sent
##! them, for passive fingerprints of operating systems.
##!
##! A host's SYNs look alike, so a line for each connection would say the same
##! over and over. syn.log has a line for a connection in which a host shows a
##! stack that it has not shown for a while; a SYN or SYN+ACK that is nothing
##! new is left out.

@load base/protocols/conn

module ZeekEnrich;

export {
	## The SYN logging stream.
	redef enum Log::ID += { SYN_LOG };

	## A logging policy hook for the SYN stream.
	global log_policy_syn: Log::PolicyHook;

	## How long a host's stack is not logged again. 0 secs logs every SYN and
	## SYN+ACK.
	option syn_interval: interval = 1hr;

	## Do not log connections from or to these networks.
	option syn_exclude_subnets: set[subnet] = {};

	type Syn: record {
		## When the connection began, the same as in conn.log.
		ts: time &log;
		## Unique ID for the connection, the same as in conn.log.
		uid: string &log;
		## The connection's 4-tuple of endpoint addresses/ports.
		id: conn_id &log;

		## The SYN's time to live, or hop limit, as it arrived.
		syn_ttl: count &log &optional;
		## The SYN's window, unscaled.
		syn_window: count &log &optional;
		## The SYN's maximum segment size, where it has the option.
		syn_mss: count &log &optional;
		## The SYN's window scale, where it has the option.
		syn_wscale: count &log &optional;
		## The SYN's TCP options in their order, as in p0f: mss, nop, ws,
		## sok, sack, ts, ?N for kind N, and eol+N for the end of the
		## options with N bytes after it.
		syn_options: string &log &optional;
		## Whether the SYN's don't-fragment flag is set.
		syn_df: bool &log &optional;
		## The SYN's size in bytes, IP header included.
		syn_size: count &log &optional;

		## The SYN+ACK's time to live, or hop limit, as it arrived.
		synack_ttl: count &log &optional;
		## The SYN+ACK's window, unscaled.
		synack_window: count &log &optional;
		## The SYN+ACK's maximum segment size, where it has the option.
		synack_mss: count &log &optional;
		## The SYN+ACK's window scale, where it has the option.
		synack_wscale: count &log &optional;
		## The SYN+ACK's TCP options in their order.
		synack_options: string &log &optional;
		## Whether the SYN+ACK's don't-fragment flag is set.
		synack_df: bool &log &optional;
		## The SYN+ACK's size in bytes, IP header included.
		synack_size: count &log &optional;
	};

	## Raised for each line of syn.log.
	global log_syn: event(rec: Syn);
}

redef record connection += {
	## What zeek-enrich is to log of the connection's SYN and SYN+ACK.
	enrich_syn: Syn &optional;
};

# The stacks of each host logged of late: by time to live, window, maximum segment
# size, window scale and size. Bounded: a flood of hosts empties it, which costs
# some lines that could have been spared.
global stacks_logged: set[addr, count, count, count, int, count]
    &create_expire=syn_interval;

const stacks_logged_max = 100000;

# TCP option kinds (IANA, TCP Option Kind Numbers).
const option_names: table[string] of string = {
	["\x01"] = "nop",
	["\x02"] = "mss",
	["\x03"] = "ws",
	["\x04"] = "sok",
	["\x05"] = "sack",
	["\x08"] = "ts",
};

# Where the TCP header of a SYN begins in a packet, or -1 where it is not whole.
# It is found by its ports, so that whatever lies before it (Ethernet, VLAN tags,
# tunnels) need not be understood.
function syn_header(packet: string, from_p: port, to_p: port): int
	{
	local ports = hexstr_to_bytestring(fmt("%04x%04x", port_to_count(from_p),
	    port_to_count(to_p)));
	local at = find_str(packet, ports);

	if ( at < 0 || |packet| < at + 20 )
		return -1;

	local header_length = 4 * ( bytestring_to_count(packet[at + 12]) / 16 );
	local is_syn = bytestring_to_count(packet[at + 13]) / 2 % 2 == 1;
	return is_syn && header_length >= 20 && |packet| >= at + header_length ? at : -1;
	}

# The options in their order, which Zeek's event does not tell.
function options_in_order(packet: string, header: count): string
	{
	local at = header + 20;
	local end = header + 4 * ( bytestring_to_count(packet[header + 12]) / 16 );
	local names = "";

	while ( at < end )
		{
		local kind = packet[at];

		if ( kind == "\x00" )
			{
			names += fmt(",eol+%d", end - at - 1);
			break;
			}

		if ( kind in option_names )
			names += "," + option_names[kind];
		else
			names += fmt(",?%d", bytestring_to_count(kind));

		if ( kind == "\x01" )
			++at;
		else
			{
			# A length that cannot be right ends what can be read.
			local length = at + 1 < end ? bytestring_to_count(packet[at + 1]) : 0;
			if ( length < 2 )
				break;

			at += length;
			}
		}

	return names[1:];
	}

function stack_is_new(host: addr, pkt: SYN_packet): bool
	{
	if ( [host, pkt$ttl, pkt$win_size, pkt$MSS, pkt$win_scale, pkt$size] in
	    stacks_logged )
		return F;

	if ( |stacks_logged| >= stacks_logged_max )
		stacks_logged = set();

	if ( syn_interval > 0secs )
		add stacks_logged[host, pkt$ttl, pkt$win_size, pkt$MSS, pkt$win_scale,
		    pkt$size];

	return T;
	}

event connection_SYN_packet(c: connection, pkt: SYN_packet)
	{
	# A retransmission's options may differ; the first is the stack's own.
	if ( c?$enrich_syn
	    && ( pkt$is_orig ? c$enrich_syn?$syn_ttl : c$enrich_syn?$synack_ttl ) )
		return;

	local id = c$id;

	if ( ! stack_is_new(pkt$is_orig ? id$orig_h : id$resp_h, pkt)
	    || id$orig_h in syn_exclude_subnets
	    || id$resp_h in syn_exclude_subnets )
		return;

	if ( ! c?$enrich_syn )
		c$enrich_syn = Syn($ts=c$start_time, $uid=c$uid, $id=id);

	local rec = c$enrich_syn;
	local packet = get_current_packet()$data;
	local header: int;

	if ( pkt$is_orig )
		{
		rec$syn_ttl = pkt$ttl;
		rec$syn_window = pkt$win_size;
		rec$syn_df = pkt$DF;
		rec$syn_size = pkt$size;
		if ( pkt$MSS > 0 )
			rec$syn_mss = pkt$MSS;
		if ( pkt$win_scale >= 0 )
			rec$syn_wscale = int_to_count(pkt$win_scale);

		header = syn_header(packet, id$orig_p, id$resp_p);
		if ( header >= 0 )
			rec$syn_options = options_in_order(packet, int_to_count(header));
		}
	else
		{
		rec$synack_ttl = pkt$ttl;
		rec$synack_window = pkt$win_size;
		rec$synack_df = pkt$DF;
		rec$synack_size = pkt$size;
		if ( pkt$MSS > 0 )
			rec$synack_mss = pkt$MSS;
		if ( pkt$win_scale >= 0 )
			rec$synack_wscale = int_to_count(pkt$win_scale);

		header = syn_header(packet, id$resp_p, id$orig_p);
		if ( header >= 0 )
			rec$synack_options = options_in_order(packet, int_to_count(header));
		}
	}

event zeek_init()
	{
	Log::create_stream(SYN_LOG, Log::Stream($columns=Syn, $ev=log_syn, $path="syn",
	    $policy=log_policy_syn));
	}

event connection_state_remove(c: connection)
	{
	if ( c?$enrich_syn )
		Log::write(SYN_LOG, c$enrich_syn);
	}
