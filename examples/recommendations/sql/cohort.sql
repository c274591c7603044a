-- The cohort: users of the first regions (by name) who have rated enough. The region is the first digit of the zip code; Canadian and
-- other codes begin with a letter.
CREATE OR REPLACE TEMPORARY VIEW people (user INT, age INT, gender STRING, occupation STRING, zip STRING)
USING csv OPTIONS (path %(users)s, header 'true');

CREATE OR REPLACE TEMPORARY VIEW given (user INT, item INT, rating DOUBLE, time BIGINT)
USING csv OPTIONS (path %(ratings)s, header 'true');

WITH placed AS (
    SELECT user, age, gender, occupation,
           CASE WHEN substr(zip, 1, 1) BETWEEN '0' AND '9' THEN substr(zip, 1, 1) ELSE 'non-US' END AS region
    FROM people
), counted AS (
    SELECT user, count(*) AS ratings FROM given GROUP BY user
), ranked AS (
    SELECT placed.*, counted.ratings, dense_rank() OVER (ORDER BY region) AS region_rank
    FROM placed JOIN counted ON placed.user = counted.user
)
SELECT user, age, gender, occupation, region, ratings
FROM ranked
WHERE ratings >= %(min_ratings)s AND region_rank <= %(max_regions)s
ORDER BY user;
