-- wrk: send a file's content with some headers, and print one line of JSON.
--
--   wrk … --script send.lua URL -- METHOD FILE 'Name: value' …

function init(arguments)
   wrk.method = arguments[1]
   local file = assert(io.open(arguments[2], "rb"))
   wrk.body = file:read("*a")
   file:close()
   for index = 3, #arguments do
      local name, value = arguments[index]:match("^([^:]+): (.*)$")
      wrk.headers[name] = value
   end
   message = wrk.format()
end

-- The same bytes each time: nothing is put together while it measures.
function request()
   return message
end

function done(summary, latency, requests)
   local errors = summary.errors
   print(string.format(
      '{"requests":%d,"seconds":%f,"failed":%d,"median":%f,"p99":%f}',
      summary.requests,
      summary.duration / 1e6,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      latency:percentile(50) / 1e6,
      latency:percentile(99) / 1e6
   ))
end
