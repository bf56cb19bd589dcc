##! Hands the first data that each side of a TCP or UDP connection sends to the
##! scripts that want it, known protocol or not.
##!
##! Zeek's protocol detection runs its signatures over the first data of every
##! connection anyway. These ride along: one function call a direction of a
##! connection, nothing per packet, and no reassembly that was not done before.

@load-sigs ./first-bytes.sig

module ZeekEnrich;

export {
	## Runs once for each direction of a connection in which data is seen.
	##
	## c: The connection.
	##
	## is_orig: Whether the originator sent the data.
	##
	## data: The first packet's payload, or what TCP reassembly delivered first.
	global first_bytes: hook(c: connection, is_orig: bool, data: string);

	## What the signatures in first-bytes.sig call.
	global match_first_bytes: function(state: signature_state, data: string): bool;
}

function match_first_bytes(state: signature_state, data: string): bool
	{
	# The matcher also asks with no data when a connection ends.
	if ( |data| == 0 )
		return F;

	hook ZeekEnrich::first_bytes(state$conn, state$is_orig, data);
	return T;
	}
