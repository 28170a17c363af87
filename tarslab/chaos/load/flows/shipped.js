// The twins of shipped.py for k6: the same requests in the same order.
import exec from 'k6/execution';
import http from 'k6/http';
import { check, sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';

const TARGET = __ENV.TARSLAB_URL;
// Milliseconds before it expires at which an access token is refreshed.
const EARLY = 10_000;
const VERIFICATIONS = 5;

const issued = new Trend('jwt_issue_duration', true);
const verified = new Trend('jwt_verify_duration', true);
const limited = new Counter('rate_limit_hits');

// Each user of k6 has its own.
let session = null;

export function mixed() {
  const turn = (exec.scenario.iterationInTest * 37) % 100;
  if (turn >= 2 && turn < 22) {
    look(turn % 2 ? '/health/ready' : '/health/live', null);
  } else if (turn < 2) {
    logIn();
  } else if (isThere()) {
    if (turn < 25) {
      refresh();
    } else if (turn < 60) {
      verify();
    } else if (turn < 75) {
      look('/agents', session);
    } else if (turn < 85) {
      look('/agents/dqn', session);
    } else {
      look('/api-keys', session);
    }
  }
}

export function jwt() {
  lifeOfAToken(0);
}

export function jwt_thinking() {
  lifeOfAToken(1);
}

function lifeOfAToken(pause) {
  if (logIn()) {
    for (let turn = 0; turn < VERIFICATIONS; turn++) {
      sleep(pause);
      verify();
    }
    sleep(pause);
    refresh();
  }
  sleep(pause);
}

function isThere() {
  if (session === null) {
    return logIn();
  }
  return Date.now() > session.until ? refresh() : true;
}

function logIn() {
  const given = {
    username: __ENV.TARSLAB_USERNAME || '',
    password: __ENV.TARSLAB_PASSWORD || '',
  };
  return keep(send('POST', '/auth/login', 'login', given, null));
}

function refresh() {
  if (session === null || session.refresh === null) {
    return logIn();
  }
  const given = { refresh_token: session.refresh };
  return keep(send('POST', '/auth/refresh', 'refresh', given, null));
}

function keep(answer) {
  session = null;
  if (!check(answer, { 'tokens are issued': (a) => a.status === 200 })) {
    return false;
  }
  issued.add(answer.timings.duration);
  const tokens = answer.json();
  session = {
    access: tokens.access_token,
    refresh: tokens.refresh_token,
    until: Date.now() + tokens.expires_in * 1000 - EARLY,
  };
  return true;
}

function verify() {
  const answer = send('GET', '/auth/me', 'verify', null, session);
  if (check(answer, { 'token is verified': (a) => a.status === 200 })) {
    verified.add(answer.timings.duration);
  }
}

function look(path, as) {
  const answer = send('GET', path, path, null, as);
  check(answer, { 'answer is there': (a) => a.status === 200 });
}

function send(method, path, name, body, as) {
  const headers = { 'User-Agent': 'tarslab' };
  if (body !== null) {
    headers['Content-Type'] = 'application/json';
  }
  if (as !== null) {
    headers.Authorization = `Bearer ${as.access}`;
  }
  const answer = http.request(method, TARGET + path, body === null ? null : JSON.stringify(body), {
    headers,
    redirects: 0,
    tags: { name },
  });
  if (answer.status === 429) {
    limited.add(1);
  } else if (answer.status === 401) {
    session = null;
  }
  return answer;
}
