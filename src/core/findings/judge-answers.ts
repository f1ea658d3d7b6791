import { answerFieldsOf, type Hsts, HSTS_FIELD, type HttpPolicy } from '../policy/http-policy.ts';
import { type Finding, makeFinding } from './finding.ts';
import type { HttpAnswer } from './posture.ts';

/** Holds the fields of an answer on TLS against what the policy wants in every answer. */
export function judgeAnswers({ fields, statusLine }: HttpAnswer, policy: HttpPolicy): readonly Finding[] {
  const wanted = answerFieldsOf(policy).filter(([name]) => name !== HSTS_FIELD);
  return [
    ...(policy.hsts === null ? [] : judgeHsts(fields.get(HSTS_FIELD), policy.hsts, statusLine)),
    ...wanted.flatMap(([name, value]) => {
      const found = fields.get(name);
      if (found?.toLowerCase() === value.toLowerCase()) return [];
      return [makeFinding('answer-field-missing', found === undefined ? `no ${name}` : `${name}: ${found}, expected ${value}`)];
    }),
  ];
}

function judgeHsts(found: string | undefined, wanted: Hsts, statusLine: string): readonly Finding[] {
  if (found === undefined) return [makeFinding('hsts-missing', `no strict-transport-security in the answer ${statusLine}`)];
  const directives = found
    .toLowerCase()
    .split(';')
    .map((directive) => directive.trim());
  const maxAge = Number(
    /^max-age=["']?(\d{1,10})["']?$/.exec(directives.find((directive) => directive.startsWith('max-age')) ?? '')?.[1] ?? 0,
  );
  const isWeak =
    maxAge < wanted.maxAgeSeconds ||
    (wanted.includeSubDomains && !directives.includes('includesubdomains')) ||
    (wanted.preload && !directives.includes('preload'));
  return isWeak ? [makeFinding('hsts-weak', `strict-transport-security: ${found.slice(0, 200)}`)] : [];
}
