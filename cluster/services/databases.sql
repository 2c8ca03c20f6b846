-- MLflow's runs, MLflow's accounts and Optuna's studies. Whoever searches has the password of the role searcher, which
-- opens the studies alone.
\getenv mlflow_password MLFLOW_DATABASE_PASSWORD
\getenv searcher_password SEARCHER_DATABASE_PASSWORD
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE ROLE searcher LOGIN PASSWORD :'searcher_password';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE accounts OWNER mlflow;
CREATE DATABASE studies OWNER searcher;
REVOKE CONNECT ON DATABASE mlflow, accounts, studies, postgres FROM PUBLIC;
