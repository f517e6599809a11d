-- An event log as schema version 1 wrote it, with one finished and one open deployment.
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE deployments (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        deployment_id TEXT NOT NULL UNIQUE,
        service TEXT NOT NULL,
        finished INTEGER NOT NULL DEFAULT 0
    );
INSERT INTO "deployments" VALUES(1,'app-1','app',1);
INSERT INTO "deployments" VALUES(4,'web-1','web',0);
CREATE TABLE events (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        deployment_id TEXT NOT NULL REFERENCES deployments (deployment_id),
        service TEXT NOT NULL,
        at REAL NOT NULL,
        kind TEXT NOT NULL,
        payload TEXT NOT NULL
    );
INSERT INTO "events" VALUES(1,'app-1','app',1.5,'deployment_requested','{"image":"registry/app:v2","strategy":"blue-green","steps":[100],"requested_by":"ada","blue":null,"generation":0,"overrides":{},"force":false,"note":""}');
INSERT INTO "events" VALUES(2,'app-1','app',2.0,'preflight_passed','{"green":{"id":"app-green-1","service":"app","color":"green","image":"registry/app:v2","version":"v2","replicas":1,"resources":{"gpus":1,"cpus":0.0,"memory_mb":0},"labels":{"env":"production"}},"checks":["capacity"],"blue_found":""}');
INSERT INTO "events" VALUES(3,'app-1','app',3.0,'deployment_failing','{"cause":"green was not healthy"}');
INSERT INTO "events" VALUES(4,'app-1','app',4.0,'alert_raised','{"name":"deploy-failed","severity":"warning","message":"app: deployment of registry/app:v2 failed"}');
INSERT INTO "events" VALUES(5,'app-1','app',5.0,'deployment_failed','{}');
INSERT INTO "events" VALUES(6,'web-1','web',6.0,'deployment_requested','{"image":"web:v1","strategy":"canary","steps":[10,100],"requested_by":"bob","blue":null,"generation":0,"overrides":{},"force":false,"note":""}');
CREATE INDEX deployments_of_service ON deployments (service, number, deployment_id);
CREATE INDEX unfinished_deployments ON deployments (number, deployment_id) WHERE finished = 0;
CREATE INDEX events_of_deployment ON events (deployment_id, sequence);
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END;
CREATE TRIGGER deployments_are_never_deleted BEFORE DELETE ON deployments
        BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('deployments',4);
INSERT INTO "sqlite_sequence" VALUES('events',6);
COMMIT;
