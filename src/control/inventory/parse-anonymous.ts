import {
  isNamedCall,
  isNarrowRange,
  MAXIMUM_EXCEPTION_CALLS,
  MAXIMUM_EXCEPTION_SOURCES,
  WIDEST_IPV4_BITS,
  WIDEST_IPV6_BITS,
} from '../../core/policy/anonymous-exception.ts';
import type { AnonymousKind } from '../../core/policy/exception-kind.ts';
import type { CallPattern } from '../../core/routes/call-pattern.ts';
import type { Fields } from './declaration-fields.ts';
import type { AnonymousTerms } from './record.ts';
import { dnsNameForm, methodForm, pathPatternForm, rangeForm } from './text-forms.ts';

/** Who is let in without a certificate, from where and for what. */
export function readAnonymousTerms(fields: Fields, kind: AnonymousKind): AnonymousTerms {
  const sources = fields.texts('sources', rangeForm);
  if (sources.length === 0 || sources.length > MAXIMUM_EXCEPTION_SOURCES)
    throw fields.fail('sources', `${sources.length} ranges`, `1 to ${MAXIMUM_EXCEPTION_SOURCES}`);
  const wide = sources.find((range) => !isNarrowRange(range));
  if (wide !== undefined) throw fields.fail('sources', wide, `ranges no wider than /${WIDEST_IPV4_BITS}, or /${WIDEST_IPV6_BITS} of IPv6`);
  const calls = fields.maps('calls').map(readCall);
  if (calls.length > MAXIMUM_EXCEPTION_CALLS) throw fields.fail('calls', `${calls.length} items`, `at most ${MAXIMUM_EXCEPTION_CALLS}`);
  const serverName = fields.has('serverName') ? fields.text('serverName', dnsNameForm) : '';
  // Probes and scrapers are configured by address.
  if (serverName !== '' && kind !== 'legacy-caller') throw fields.fail('serverName', serverName, 'one of a legacy-caller only');
  return { sources, calls, serverName };
}

function readCall(fields: Fields): CallPattern {
  const call = {
    methods: fields.texts('methods', methodForm),
    host: fields.has('host') ? fields.text('host', dnsNameForm) : '',
    path: fields.text('path', pathPatternForm),
  };
  if (call.methods.length === 0) throw fields.fail('methods', 'nothing', 'a list of HTTP methods');
  if (!isNamedCall(call)) throw fields.fail('path', call.path, 'a path whose first segment is written out, and not that of drills');
  fields.end();
  return call;
}
