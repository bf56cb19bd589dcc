##! Logs the first bytes that each side of a connection sends, for every TCP and
##! UDP service, known or not: passive banner grabbing.
##!
##! A connection whose protocol Zeek does not know has a line in payload.log. A
##! service that Zeek knows has a log that says more, so that one line for each
##! server's port now and then is enough.

@load base/protocols/conn
@load ./first-bytes

module ZeekEnrich;

export {
	## The payload logging stream.
	redef enum Log::ID += { PAYLOAD_LOG };

	## A logging policy hook for the payload stream.
	global log_policy_payload: Log::PolicyHook;

	## How many bytes of each direction to log.
	option payload_bytes: count = 64;

	## How long a server's port whose service Zeek knows is not logged again.
	## 0 secs logs all connections to it.
	option payload_known_interval: interval = 1hr;

	## Log one connection in so many, chosen by its ports, so that every
	## worker and every run chooses alike. 1 logs all.
	option payload_one_in: count = 1;

	## Do not log connections to these responder ports.
	option payload_exclude_ports: set[port] = {};

	## Do not log connections from or to these networks.
	option payload_exclude_subnets: set[subnet] = {};

	## Do not log connections in which Zeek has confirmed one of these
	## services, named as in conn.log.
	option payload_exclude_services: set[string] = {};

	type Payload: record {
		## When the connection began, the same as in conn.log.
		ts: time &log;
		## Unique ID for the connection, the same as in conn.log.
		uid: string &log;
		## The connection's 4-tuple of endpoint addresses/ports.
		id: conn_id &log;
		## The transport layer protocol of the connection.
		proto: transport_proto &log;
		## What the originator sent first, a dot for each byte that is not
		## printable ASCII.
		orig_payload: string &log &optional;
		## The same in hexadecimal.
		orig_payload_hex: string &log &optional;
		## What the responder sent first, a dot for each byte that is not
		## printable ASCII.
		resp_payload: string &log &optional;
		## The same in hexadecimal.
		resp_payload_hex: string &log &optional;
	};

	## Raised for each line of payload.log.
	global log_payload: event(rec: Payload);
}

redef record connection += {
	## The first bytes that the originator sent.
	enrich_orig_data: string &optional;
	## The first bytes that the responder sent.
	enrich_resp_data: string &optional;
};

# Server ports of known services logged of late. Bounded: a flood of servers
# empties it, which costs some lines that could have been spared.
global payload_logged: set[addr, port] &create_expire=payload_known_interval;

const payload_logged_max = 100000;

function payload_is_wanted(c: connection): bool
	{
	local id = c$id;

	if ( payload_one_in > 1 )
		{
		local ports = port_to_count(id$orig_p) + port_to_count(id$resp_p);
		if ( ports % payload_one_in != 0 )
			return F;
		}

	return id$resp_p !in payload_exclude_ports
	    && id$orig_h !in payload_exclude_subnets
	    && id$resp_h !in payload_exclude_subnets;
	}

function known_service_is_wanted(c: connection): bool
	{
	local known = F;

	for ( service in c$service )
		{
		if ( to_lower(service) in payload_exclude_services )
			return F;

		# A leading minus marks an analyzer that gave up.
		known = known || service[0] != "-";
		}

	if ( ! known )
		return T;

	if ( [c$id$resp_h, c$id$resp_p] in payload_logged )
		return F;

	if ( |payload_logged| >= payload_logged_max )
		payload_logged = set();

	if ( payload_known_interval > 0secs )
		add payload_logged[c$id$resp_h, c$id$resp_p];

	return T;
	}

hook first_bytes(c: connection, is_orig: bool, data: string)
	{
	local start = |data| > payload_bytes ? data[0:payload_bytes] : data;

	if ( is_orig )
		c$enrich_orig_data = start;
	else
		c$enrich_resp_data = start;
	}

event zeek_init()
	{
	Log::create_stream(PAYLOAD_LOG, Log::Stream($columns=Payload, $ev=log_payload,
	    $path="payload", $policy=log_policy_payload));
	}

event connection_state_remove(c: connection)
	{
	if ( ! c?$enrich_orig_data && ! c?$enrich_resp_data )
		return;

	if ( ! payload_is_wanted(c)
	    || ( |c$service| > 0 && ! known_service_is_wanted(c) ) )
		return;

	local rec = Payload($ts=c$start_time, $uid=c$uid, $id=c$id,
	    $proto=get_port_transport_proto(c$id$resp_p));

	if ( c?$enrich_orig_data )
		{
		rec$orig_payload = gsub(c$enrich_orig_data, /[^\x20-\x7e]/, ".");
		rec$orig_payload_hex = bytestring_to_hexstr(c$enrich_orig_data);
		}

	if ( c?$enrich_resp_data )
		{
		rec$resp_payload = gsub(c$enrich_resp_data, /[^\x20-\x7e]/, ".");
		rec$resp_payload_hex = bytestring_to_hexstr(c$enrich_resp_data);
		}

	Log::write(PAYLOAD_LOG, rec);
	}
