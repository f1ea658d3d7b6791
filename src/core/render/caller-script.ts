/**
 * What reads a caller's SPIFFE ID from the DER of its certificate, in the JavaScript that nginx's njs and Node both speak.
 *
 * Text cannot be searched for it: a key of RSA is octets that its holder chooses, so a URI can be planted in one and be certified. The
 * extension is found by its place (RFC 5280 section 4.1), which only the authority writes.
 */
export const callerFunctions = `// The element of DER that begins at \`at\` and ends by \`end\` (X.690 section 8.1).
function element(der, at, end) {
  if (at + 2 > end) throw new Error('cut');
  let length = der[at + 1];
  let from = at + 2;
  if (length === 0x80 || length > 0x84) throw new Error('length');
  if (length > 0x80) {
    let count = length - 0x80;
    if (from + count > end) throw new Error('cut');
    length = 0;
    while (count-- > 0) length = length * 256 + der[from++];
  }
  if (from + length > end) throw new Error('cut');
  return { tag: der[at], from: from, to: from + length };
}

function elements(der, parent) {
  const found = [];
  let at = parent.from;
  while (at < parent.to) {
    const next = element(der, at, parent.to);
    found.push(next);
    at = next.to;
  }
  return found;
}

// The URIs of the extension subjectAltName, which is 2.5.29.17.
function urisOf(der) {
  const tbs = element(der, element(der, 0, der.length).from, der.length);
  const wrapped = elements(der, tbs).filter((field) => field.tag === 0xa3);
  if (wrapped.length !== 1) return [];
  const uris = [];
  elements(der, element(der, wrapped[0].from, wrapped[0].to)).forEach((extension) => {
    const parts = elements(der, extension);
    const id = parts[0];
    if (id.tag !== 6 || id.to - id.from !== 3 || der[id.from] !== 0x55 || der[id.from + 1] !== 0x1d || der[id.from + 2] !== 0x11) return;
    const value = parts[parts.length - 1];
    elements(der, element(der, value.from, value.to)).forEach((name) => {
      let text = '';
      for (let i = name.from; i < name.to; i++) text += String.fromCharCode(der[i]);
      if (name.tag === 0x86) uris.push(text);
    });
  });
  return uris;
}

// An X509-SVID has exactly one URI (SPIFFE X509-SVID section 2), in the spelling of SPIFFE-ID section 2; all else is nobody.
function callerOf(der) {
  try {
    const uris = urisOf(der);
    const isOne = uris.length === 1 && uris[0].length <= 2048;
    return isOne && /^spiffe:\\/\\/[a-z0-9._-]+(\\/[a-zA-Z0-9._-]+)+$/.test(uris[0]) && uris[0].slice(-1) !== '\\n' ? uris[0] : '';
  } catch (e) {
    return '';
  }
}
`;

/** The module that nginx loads; each function is the value of a variable. */
export function renderNjsScript(heading: readonly string[]): string {
  return `${heading.map((line) => `// ${line}`).join('\n')}
import crypto from 'crypto';

${callerFunctions}
function certificateOf(r) {
  const pem = r.variables.ssl_client_raw_cert;
  return r.variables.ssl_client_verify === 'SUCCESS' && pem ? Buffer.from(pem.replace(/-----[A-Z ]+-----|\\s/g, ''), 'base64') : null;
}

// Who calls, or nothing.
function identity(r) {
  const der = certificateOf(r);
  return der === null ? '' : callerOf(der);
}

// X-Forwarded-Client-Cert in Envoy's form.
function forwarded(r) {
  const der = certificateOf(r);
  if (der === null) return '';
  const caller = callerOf(der);
  return \`Hash=\${crypto.createHash('sha256').update(der).digest('hex')}\` + (caller === '' ? '' : \`;URI=\${caller}\`);
}

// Client-Cert: a byte sequence (RFC 9440 section 2.2, RFC 9651 section 3.3.5).
function clientCert(r) {
  const der = certificateOf(r);
  return der === null ? '' : \`:\${der.toString('base64')}:\`;
}

export default { identity, forwarded, clientCert };
`;
}

/** The same for HAProxy, in Lua 5.3. */
export function renderLuaScript(heading: readonly string[]): string {
  return `${heading.map((line) => `-- ${line}`).join('\n')}
${LUA}`;
}

const LUA = `
-- The element of DER that begins at \`at\` and ends before \`stop\` (X.690 section 8.1). Lengths of more than 64 KiB are none of a certificate.
local function element(der, at, stop)
  if at + 2 > stop then error('cut') end
  local length, from = der:byte(at + 1), at + 2
  if length == 0x80 or length > 0x82 then error('length') end
  if length > 0x80 then
    local count = length - 0x80
    if from + count > stop then error('cut') end
    length = 0
    for _ = 1, count do
      length = length * 256 + der:byte(from)
      from = from + 1
    end
  end
  if from + length > stop then error('cut') end
  return { tag = der:byte(at), from = from, to = from + length }
end

local function elements(der, parent)
  local found, at = {}, parent.from
  while at < parent.to do
    local following = element(der, at, parent.to)
    found[#found + 1] = following
    at = following.to
  end
  return found
end

-- The URIs of the extension subjectAltName, which is 2.5.29.17. It is found by its place (RFC 5280 section 4.1): a key of RSA is octets that its
-- holder chooses, so a URI that was searched for as text could be planted in one.
local function uris_of(der)
  local stop = #der + 1
  local tbs = element(der, element(der, 1, stop).from, stop)
  local uris, wrapped = {}, nil
  for _, field in ipairs(elements(der, tbs)) do
    if field.tag == 0xa3 then
      if wrapped then error('twice') end
      wrapped = field
    end
  end
  if not wrapped then return uris end
  for _, extension in ipairs(elements(der, element(der, wrapped.from, wrapped.to))) do
    local parts = elements(der, extension)
    if parts[1].tag == 6 and der:sub(parts[1].from, parts[1].to - 1) == '\\x55\\x1d\\x11' then
      local value = parts[#parts]
      for _, name in ipairs(elements(der, element(der, value.from, value.to))) do
        if name.tag == 0x86 then uris[#uris + 1] = der:sub(name.from, name.to - 1) end
      end
    end
  end
  return uris
end

-- An X509-SVID has exactly one URI (SPIFFE X509-SVID section 2), in the spelling of SPIFFE-ID section 2; all else is nobody.
local function caller_of(der)
  local uris = uris_of(der)
  if #uris ~= 1 or #uris[1] > 2048 then return '' end
  local path = uris[1]:match('^spiffe://[a-z0-9._-]+(/[a-zA-Z0-9._/-]+)$')
  if not path or path:find('//', 1, true) or path:sub(-1) == '/' then return '' end
  return uris[1]
end

core.register_fetches('countersign_caller', function(txn)
  local der = txn.sf:ssl_c_der()
  if not der or der == '' then return '' end
  local is_read, caller = pcall(caller_of, der)
  return is_read and caller or ''
end)
`;
