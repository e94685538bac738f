// The shop's back end: counts visits in the database.
//
//   POST /visit   counts one; {"visits": N, "by": "NAME OF THIS POD"}
//   GET /visits   {"visits": N}
//   GET /healthz  200 once the database answers, else 503

const http = require("http");
const os = require("os");
const { Pool } = require("pg");

const pool = new Pool({
    host: process.env.DATABASE_HOST || "database",
    port: Number(process.env.DATABASE_PORT_NUMBER || 5435),
    database: "shop",
    user: "sa",
    password: process.env.DATABASE_PASSWORD || "shop",
    max: 4,
    connectionTimeoutMillis: 5000,
});
// A connection that breaks while nobody uses it: the pool makes another one.
pool.on("error", error => console.error(`database: ${error.message}`));

const prepared = "create table if not exists visits (at timestamp default current_timestamp, by_pod varchar(100))";

async function count() {
    const { rows } = await pool.query("select count(*) as visits from visits");
    return Number(rows[0].visits);
}

const answers = {
    "POST /visit": async () => {
        await pool.query("insert into visits (by_pod) values ($1)", [os.hostname()]);
        return { visits: await count(), by: os.hostname() };
    },
    "GET /visits": async () => ({ visits: await count() }),
    "GET /healthz": async () => pool.query(prepared).then(() => ({ ok: true })),
};

const server = http.createServer(async (request, response) => {
    const answer = answers[`${request.method} ${request.url}`];
    let [status, body] = [404, { error: "no such page" }];
    try {
        if (answer) [status, body] = [200, await answer()];
    } catch (error) {
        console.error(`${request.method} ${request.url}: ${error.message}`);
        [status, body] = [503, { error: error.message }];
    }
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify(body) + "\n");
});
server.listen(3000, () => console.log("listening on port 3000"));
// What is being answered is answered to its end.
process.on("SIGTERM", () => server.close(() => process.exit(0)));
